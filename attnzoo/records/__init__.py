"""Records of files, one by one: errors name file and line."""

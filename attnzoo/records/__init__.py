"""Reading records from files one at a time; errors name file and line."""

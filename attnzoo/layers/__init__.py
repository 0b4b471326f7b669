"""The layers of the models, other than attention."""

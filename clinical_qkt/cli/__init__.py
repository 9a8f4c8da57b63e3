"""The command ``clinical-qkt``: one file a group of commands; what they do is in the other rooms."""

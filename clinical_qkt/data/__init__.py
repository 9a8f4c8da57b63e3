"""Images and labels: files of every format, datalists, classes and label spaces, splits, generated images."""

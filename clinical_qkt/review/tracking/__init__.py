"""What goes to MLflow: runs, registered models, records that are sent on to a server."""

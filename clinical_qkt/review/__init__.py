"""What people look at afterwards: the summary, the report, comparisons, MLflow."""

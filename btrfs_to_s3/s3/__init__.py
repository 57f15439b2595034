"""The only code that speaks to boto3."""

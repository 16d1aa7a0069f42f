"""What is raised for broken published data."""


class DataError(ValueError):
    """Something in a data folder is wrong; the message names the file and the field."""

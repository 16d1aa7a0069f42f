"""General Points: make the target from the numbers of all cards (`amft/GeneralPoints-v0`)."""

"""`python -m amft_mm COMMAND`: see amft_mm/commands.py."""

from amft_mm.commands import main

if __name__ == "__main__":
    main()

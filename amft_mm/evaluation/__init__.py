"""How well an agent does on every split, and how surely."""

"""What commands are told: settings, their names, plug-ins, who plays, what a run would need."""

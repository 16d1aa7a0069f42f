"""V-IRL: find your way by street views (`amft/VIRL-v0`)."""

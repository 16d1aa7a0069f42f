"""Math: one question, one right answer, from generators or data sets."""

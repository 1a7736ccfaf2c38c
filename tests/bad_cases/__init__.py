"""What users do wrong, by theme, and the folder that they do it in."""

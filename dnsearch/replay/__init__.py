"""Search strategies tried on recorded trainings."""

"""Fresh trainings of some candidates: how good they are, what short trainings are worth."""

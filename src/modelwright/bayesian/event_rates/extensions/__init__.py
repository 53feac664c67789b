"""Extensions of the event-rate model: covariates, temporal dynamics, volumes, zero inflation and a common drift."""

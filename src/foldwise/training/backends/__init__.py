"""The backends of Keras, of which a process imports one: `foldwise.training.backend` chooses."""

"""Log runs to TensorBoard or MLflow, from the files that a finished fold has, beside the training and never in it."""

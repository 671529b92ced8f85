"""Items on their way to the model: which ones, in which order, through which processes, in which batches."""

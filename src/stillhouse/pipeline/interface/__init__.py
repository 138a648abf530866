"""What users call from Python and the command line: the verbs, and the run that they hold in hand."""

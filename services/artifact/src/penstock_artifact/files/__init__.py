"""Files of runs and logged models: trees that change, each path naming a blob."""

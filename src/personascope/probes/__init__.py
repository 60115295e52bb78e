"""Where it is written: ridge and logistic probes, folds, controls, transfer, geometry."""

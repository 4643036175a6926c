"""ROC curves of several methods in one figure."""

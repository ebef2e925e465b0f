"""How well a model moves molecules that it was not trained on: free-running jumps beside MD, molecule by molecule."""

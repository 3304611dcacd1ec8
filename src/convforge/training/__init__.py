"""From a data set and the name of a network to a trained classifier.

`convforge.training.trainer.train` and `convforge.training.recipe.Recipe` are the way in; nothing is
imported here, so that reading a recipe needs no torch.
"""

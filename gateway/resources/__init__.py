"""One module for each kind of resource; a class for each path, with its collaborators given to it."""

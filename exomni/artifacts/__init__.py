"""Everything that is made has one shape: an artifact with a recipe, inputs, an identity and a folder."""

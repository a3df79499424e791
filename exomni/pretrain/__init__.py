"""What a run needs before stage I and trains once per corpus: codec, sync expert, nano backbones."""

"""The language half of the models: visual tokens and a prompt in, text with spatial tokens out."""

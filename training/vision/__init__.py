"""The vision half of the models: any bands in, tokens, a pixel map and a language space out."""

"""Every mechanism shown on pictures that lie in this repository, right or wrong as it comes."""

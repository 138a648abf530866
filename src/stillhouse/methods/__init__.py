"""The methods. This folder is the registry: a file that ends in ``METHOD = Class`` is a method of that file's name."""

from stillhouse.methods.registry import Card, card, get, make, names, outside, settings

__all__ = ["Card", "card", "get", "make", "names", "outside", "settings"]

"""ESCO skills for spaCy: which skills does each sentence of a job ad ask for?"""

__version__ = "0.1.0"

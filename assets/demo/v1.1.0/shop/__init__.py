"""Saltmarsh Provisions: tea, spices and other dry goods."""

from shop.celery import app as celery_app

__all__ = ["__version__", "celery_app"]

__version__ = "1.1.0"

from django.db import models


class Berth(models.Model):
    name = models.CharField(max_length=40, unique=True)
    metres = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return f"{self.name} ({self.metres} m)"

    def fits(self, metres):
        """Whether a boat of this length can moor here."""
        return metres <= self.metres

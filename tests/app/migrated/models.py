from django.db import models


class Page(models.Model):
    url = models.CharField(max_length=50)

    class Meta:
        app_label = "migrated"

    def look(self, message):
        return f"looked at {self.url}"

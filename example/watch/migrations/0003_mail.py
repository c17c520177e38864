import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("watch", "0002_prune_sessions"),
    ]

    operations = [
        migrations.CreateModel(
            name="Mail",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("subject", models.CharField(max_length=255)),
                ("to", models.CharField(max_length=255)),
                ("text", models.TextField()),
                ("message_id", models.CharField(max_length=255)),
                ("in_reply_to", models.CharField(blank=True, max_length=255)),
                ("sent_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "ordering": ["-pk"],
            },
        ),
    ]

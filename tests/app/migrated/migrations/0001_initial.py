from django.db import migrations, models


class Migration(migrations.Migration):
    operations = [
        migrations.CreateModel(
            name="Page",
            fields=[
                ("id", models.BigAutoField(primary_key=True)),
                ("url", models.CharField(max_length=50)),
            ],
        ),
    ]

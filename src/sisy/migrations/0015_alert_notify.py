from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sisy", "0014_alert_cause"),
    ]

    operations = [
        # Not RenameIndex: MySQL and MariaDB have no partial indexes, so they have none to rename.
        migrations.RemoveIndex(model_name="alert", name="sisy_alert_tell"),
        migrations.RenameField(model_name="alert", old_name="tell_at", new_name="notify_at"),
        migrations.RenameField(model_name="alert", old_name="told_at", new_name="notified_at"),
        migrations.RenameField(model_name="alert", old_name="is_told", new_name="is_notified"),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(
                condition=models.Q(("notify_at__isnull", False)),
                fields=["notify_at"],
                name="sisy_alert_notify",
            ),
        ),
    ]

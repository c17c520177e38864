from django.db import migrations

from sisy.models import Task, task_with_callable


def look_at_pages(apps, schema_editor):
    page = apps.get_model("migrated", "Page").objects.create(url="/about/")
    assert not hasattr(page, "look"), "historical models have no methods"
    task_with_callable(
        "tests.app.migrated.models.Page.look",
        label="look at /about/",
        schedule="0 4 * * *",
        pk_override=page.pk,
        userdata={"by": "migration"},
    ).save()


def look_no_more(apps, schema_editor):
    Task.objects.filter(label="look at /about/").delete()


class Migration(migrations.Migration):
    dependencies = [("migrated", "0001_initial"), ("sisy", "0001_initial")]
    operations = [migrations.RunPython(look_at_pages, look_no_more)]

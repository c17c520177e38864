"""How Sisy speaks to databases where Django's ORM does not say it by itself."""

//! The shop's files, as they are under `assets/demo/`.

/// Carries the named files of `assets/demo/` in the program.
macro_rules! carried {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../assets/demo/", $name)))),*]
    };
}

/// What happens when.
pub(super) const STORY: &str = include_str!("../../assets/demo/story.toml");

/// What a release of the shop runs.
pub(super) const ROLES: &str = include_str!("../../assets/demo/roles.toml");

/// Every file that a commit of the story lays out, sorted.
#[rustfmt::skip]
pub(super) const FILES: [(&str, &str); 103] = carried![
    "after-v1.2.0/catalog/models.py",
    "after-v1.2.0/catalog/templates/catalog/_card.html",
    "after-v1.2.0/catalog/templates/catalog/product.html",
    "after-v1.2.0/tests/test_unit_price.py",
    "docker/Dockerfile",
    "docker/dockerignore",
    "v1.0.0/README.md",
    "v1.0.0/accounts/__init__.py",
    "v1.0.0/accounts/apps.py",
    "v1.0.0/accounts/migrations/0001_initial.py",
    "v1.0.0/accounts/migrations/0002_user_newsletter_and_unique_email.py",
    "v1.0.0/accounts/migrations/__init__.py",
    "v1.0.0/accounts/models.py",
    "v1.0.0/catalog/__init__.py",
    "v1.0.0/catalog/apps.py",
    "v1.0.0/catalog/management/__init__.py",
    "v1.0.0/catalog/management/commands/__init__.py",
    "v1.0.0/catalog/management/commands/seed.py",
    "v1.0.0/catalog/migrations/0001_initial.py",
    "v1.0.0/catalog/migrations/0002_product_stock_and_is_active.py",
    "v1.0.0/catalog/migrations/0003_category_position.py",
    "v1.0.0/catalog/migrations/0004_number_categories.py",
    "v1.0.0/catalog/migrations/0005_product_pack_units.py",
    "v1.0.0/catalog/migrations/0006_product_price_check_and_indexes.py",
    "v1.0.0/catalog/migrations/__init__.py",
    "v1.0.0/catalog/models.py",
    "v1.0.0/catalog/static/catalog/shop.css",
    "v1.0.0/catalog/static/catalog/shop.js",
    "v1.0.0/catalog/templates/catalog/_card.html",
    "v1.0.0/catalog/templates/catalog/category.html",
    "v1.0.0/catalog/templates/catalog/home.html",
    "v1.0.0/catalog/templates/catalog/product.html",
    "v1.0.0/catalog/urls.py",
    "v1.0.0/catalog/views.py",
    "v1.0.0/gitignore",
    "v1.0.0/gunicorn.conf.py",
    "v1.0.0/manage.py",
    "v1.0.0/orders/__init__.py",
    "v1.0.0/orders/apps.py",
    "v1.0.0/orders/forms.py",
    "v1.0.0/orders/migrations/0001_initial.py",
    "v1.0.0/orders/migrations/0002_confirmation.py",
    "v1.0.0/orders/migrations/0003_heartbeat.py",
    "v1.0.0/orders/migrations/0004_line_checks_and_newest_index.py",
    "v1.0.0/orders/migrations/__init__.py",
    "v1.0.0/orders/models.py",
    "v1.0.0/orders/services.py",
    "v1.0.0/orders/tasks.py",
    "v1.0.0/orders/templates/orders/detail.html",
    "v1.0.0/orders/templates/orders/recent.html",
    "v1.0.0/orders/templates/orders/refused.html",
    "v1.0.0/orders/urls.py",
    "v1.0.0/orders/views.py",
    "v1.0.0/pyproject.toml",
    "v1.0.0/requirements-dev.in",
    "v1.0.0/requirements-dev.txt",
    "v1.0.0/requirements.in",
    "v1.0.0/requirements.txt",
    "v1.0.0/secrets.baseline",
    "v1.0.0/shop/__init__.py",
    "v1.0.0/shop/celery.py",
    "v1.0.0/shop/context_processors.py",
    "v1.0.0/shop/health.py",
    "v1.0.0/shop/middleware.py",
    "v1.0.0/shop/settings/__init__.py",
    "v1.0.0/shop/settings/base.py",
    "v1.0.0/shop/settings/production.py",
    "v1.0.0/shop/settings/test.py",
    "v1.0.0/shop/startlog.py",
    "v1.0.0/shop/templates/base.html",
    "v1.0.0/shop/urls.py",
    "v1.0.0/shop/wsgi.py",
    "v1.0.0/tests/__init__.py",
    "v1.0.0/tests/conftest.py",
    "v1.0.0/tests/test_catalog.py",
    "v1.0.0/tests/test_health.py",
    "v1.0.0/tests/test_migrations.py",
    "v1.0.0/tests/test_orders.py",
    "v1.0.0/tests/test_seed.py",
    "v1.0.0/tests/test_startlog.py",
    "v1.0.0/towpath.toml",
    "v1.1.0/catalog/models.py",
    "v1.1.0/catalog/static/catalog/shop.css",
    "v1.1.0/catalog/templates/catalog/_card.html",
    "v1.1.0/catalog/templates/catalog/search.html",
    "v1.1.0/catalog/urls.py",
    "v1.1.0/catalog/views.py",
    "v1.1.0/shop/__init__.py",
    "v1.1.0/shop/templates/base.html",
    "v1.1.0/tests/test_search.py",
    "v1.2.0/catalog/models.py",
    "v1.2.0/catalog/templates/catalog/_card.html",
    "v1.2.0/catalog/templates/catalog/product.html",
    "v1.2.0/shop/__init__.py",
    "v1.2.0/tests/test_unit_price.py",
    "v1.3.0/catalog/management/commands/seed.py",
    "v1.3.0/catalog/migrations/0007_product_search_text.py",
    "v1.3.0/catalog/migrations/0008_fill_search_text.py",
    "v1.3.0/catalog/models.py",
    "v1.3.0/catalog/search.py",
    "v1.3.0/catalog/views.py",
    "v1.3.0/shop/__init__.py",
    "v1.3.0/tests/test_search.py",
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn names(directory: &Path, found: &mut Vec<String>, base: &Path) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                names(&path, found, base);
            } else {
                found.push(path.strip_prefix(base).unwrap().to_string_lossy().into_owned());
            }
        }
    }

    #[test]
    fn every_file_of_the_shop_is_carried() {
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo");
        let mut found = Vec::new();
        names(&base, &mut found, &base);
        found.retain(|name| name.contains('/') && !name.contains("__pycache__"));
        found.sort();
        let carried: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        assert_eq!(found, carried);
    }
}

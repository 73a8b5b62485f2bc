"""How fast clients read a table's pages, when the table is not what bounds them."""

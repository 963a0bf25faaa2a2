/// The tables, as migrations: never changed once released, only added to.
enum Schema {}

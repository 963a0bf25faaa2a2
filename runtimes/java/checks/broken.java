class Broken {
    public static void main(String[] arguments) {
        nothing();
    }
}

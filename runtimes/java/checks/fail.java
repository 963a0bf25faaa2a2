class Fail {
    public static void main(String[] arguments) {
        System.out.println("before");
        System.out.println(1 / arguments.length);
    }
}

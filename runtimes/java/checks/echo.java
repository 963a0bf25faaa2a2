import java.util.Scanner;

public class Echo {
    public static void main(String[] arguments) {
        System.out.println("Grüße, 世界! 😀");
        for (String word : arguments) System.out.println(word);
        Scanner input = new Scanner(System.in);
        while (input.hasNextLine()) System.out.println("> " + input.nextLine());
        System.exit(7);
    }
}

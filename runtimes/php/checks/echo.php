<?php
echo "Grüße, 世界! 😀\n";
foreach (array_slice($argv, 1) as $word) {
    echo $word, "\n";
}
while (($line = fgets(STDIN)) !== false) {
    echo '> ', $line;
}
exit(7);

<?php
// Read just before the program. Waits for its arguments and variables; see runtimes/README.md, "Warm".
(function () {
    $channel = fopen('php://fd/900', 'r+');
    $exactly = function (int $length) use ($channel): string {
        $bytes = '';
        while (strlen($bytes) < $length) {
            $part = fread($channel, $length - strlen($bytes));
            if ($part === false || $part === '') {
                exit(70);
            }
            $bytes .= $part;
        }
        return $bytes;
    };
    stream_set_read_buffer($channel, 0);
    fwrite($channel, 'R');
    $texts = explode("\0", $exactly((int) $exactly(16)));
    fwrite($channel, 'S'); // this language cannot close a descriptor that it was born with
    $words = (int) $texts[2];
    $arguments = array_slice($texts, 3 + 1, $words - 1); // behind php

    foreach (getenv() as $name => $value) {
        putenv($name);
        unset($_SERVER[$name]);
    }
    $variables = [];
    foreach (array_slice($texts, 4 + $words, -1) as $text) {
        putenv($text);
        [$name, $value] = explode('=', $text, 2);
        $variables[$name] = $value;
    }
    $_SERVER = $variables + $_SERVER;
    $_SERVER['REQUEST_TIME_FLOAT'] = microtime(true);
    $_SERVER['REQUEST_TIME'] = (int) $_SERVER['REQUEST_TIME_FLOAT'];
    $_SERVER['argv'] = $GLOBALS['argv'] = $arguments;
    $_SERVER['argc'] = $GLOBALS['argc'] = count($arguments);
})();

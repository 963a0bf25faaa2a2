<?php
echo "before\n";
echo intdiv(1, $argc - 1);

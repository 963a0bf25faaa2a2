SELECT 'Grüße, 世界! 😀';
CREATE TABLE input (line);
.import /dev/stdin input
SELECT '> ' || line FROM input;
.exit 7

import os

echo "before"
echo 1 div paramCount()

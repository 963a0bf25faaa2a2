const number: number = 'not one';
console.log(number);
